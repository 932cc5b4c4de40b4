"""The loss, the training rows and the training stages."""
