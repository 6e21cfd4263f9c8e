"""Federated 3D brain-tumour segmentation on BraTS data, as an NVIDIA FLARE application.

Research software, not a medical device: nothing it computes may guide the care of a patient.
"""

__version__ = "0.1.0"
__oldest__ = "0.1.0"  # the oldest version that takes part in one job with this one (jobs/version_rule.py)
