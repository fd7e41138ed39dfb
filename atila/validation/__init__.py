"""What the arguments of a request must be: ``@app.inspect`` and type hints."""
