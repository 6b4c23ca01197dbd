"""Blocks: how a large array is cut, given a border, worked on and put together again."""
