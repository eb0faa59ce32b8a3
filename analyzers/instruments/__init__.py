"""One module per instrument. `analyzers.registry.INSTRUMENTS` lists them."""
