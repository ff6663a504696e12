"""The streams and consumers: what they are, who keeps them there, who may do what with them."""
