"""What a model is trained to do: functions from a batch to a summed loss and its count."""
