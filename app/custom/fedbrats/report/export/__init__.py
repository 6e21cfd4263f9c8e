"""A model for others: MONAI bundle, ONNX, model card."""
