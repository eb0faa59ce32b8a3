"""What other programs' checkpoints hold, with their tensors under the field's names.

Nothing here runs a model or knows a family: `training.importing` makes variants out of what this finds.
"""
