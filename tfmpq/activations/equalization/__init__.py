"""What is done about channels: factors that make one int8 scale suit all of them."""
