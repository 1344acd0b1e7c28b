"""Attack a checkpoint after the training: `python -m domcli.trainer.assess EVALUATION_FOLDER`."""
