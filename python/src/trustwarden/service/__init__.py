"""For services that agents visit: the guard around ASGI and WSGI applications."""
