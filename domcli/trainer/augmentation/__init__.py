"""The pixels and draws of AugMix and RandAugment, for whole batches on the device."""
