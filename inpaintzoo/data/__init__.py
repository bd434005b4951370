"""Pictures, masks and the data modules that pair them."""
