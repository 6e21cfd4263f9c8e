"""The 3D U-Net: build, train, apply and measure it. Imports no FLARE."""
