"""Networks as functions of tensors, and the records that say what they take and give: no file, no label, no graph."""
