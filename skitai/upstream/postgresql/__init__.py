"""PostgreSQL by psycopg2 in asynchronous mode."""
