"""Other people's protocols (contract §5): each with its vendor's shapes, headers and error envelope."""
