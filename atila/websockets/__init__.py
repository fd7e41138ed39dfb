"""WebSockets: what an app declares with ``@app.websocket``, compiled and served."""
