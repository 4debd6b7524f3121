"""Where series come from: one module per Google product that writes them."""
