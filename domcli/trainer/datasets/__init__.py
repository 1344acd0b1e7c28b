"""One file per kind of data set; each returns a RawDataset in host memory."""
