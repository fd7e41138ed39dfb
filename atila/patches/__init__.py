"""Other libraries, fitted to atila: ``djangopatch`` for the models of Django."""
