"""THE one path from sources to rows of descriptors. An image's way, module by module:

images.sources             names it, by way of images.containers.folder (or a list, an archive)
embedding.job              what is asked for, embedding.local what of it is new:
descriptors.ledger         an image that is stored as it is now goes no further
embedding.stream           lists of images, each in a thread; beside a GPU embedding.on_gpu
images.read                bytes of a file, a member, a row, a server
images.decode              to a value that says what it is or why it cannot be read:
images.opening             upright RGB (images.signatures, images.guards, images.colours)
images.preprocess          as large as the network sees it
models.runtime.onnx_runtime, or another: the descriptor
descriptors.write          a row of a shard (descriptors.schema, descriptors.provenance),
descriptors.shards         whose name and lock are there, and storage.files writes it whole
"""
