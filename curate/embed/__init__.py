"""Pixels become numbers: each original file is opened once, here. See docs/embed.md.

scan goes through the files, shard by shard; look says what one look at a file gives, by decode and measure; pool
are the threads or processes that take it. embedder makes pixels embeddings: size chooses its input, models and packaged
give the network, pool says what of it is an embedding, tune makes it faster, backends and convert run it. store keeps
the shards, and memory knows what has been seen.
"""
