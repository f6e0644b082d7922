"""What every worker of a crew needs; imported once, before the workers are forked."""

import torch.distributed.tensor  # noqa: F401

import luban.train.joining  # noqa: F401
