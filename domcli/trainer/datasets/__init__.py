"""One file per kind of data set, named in the catalogue; each returns a RawDataset in host memory."""
