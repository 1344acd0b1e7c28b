"""domcli: launch, watch and compare experiments on over-memorization (DOM, Lin et al., ICLR 2024)."""

__version__ = "0.1.0"
