"""Labelled in, labelled out: each module a conductor of one method."""
