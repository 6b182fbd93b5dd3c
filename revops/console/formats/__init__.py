"""How dates and instants read on the console: ISO order, 24 hours, the same for every reader. Instants are UTC."""
