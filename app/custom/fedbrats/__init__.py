"""Federated 3D brain-tumour segmentation on BraTS data, as an NVIDIA FLARE application.

Research software, not a medical device: nothing it computes may guide the care of a patient.
"""

__version__ = "0.1.0"
