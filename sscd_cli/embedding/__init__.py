"""THE one path from sources to rows of descriptors. An image's way, each step in those above it:

embedding.local             images of a job that the dataset does not hold become rows of it
  images.sources            names an image of a source (others are lists, archives, tables):
    images.containers.folder
  images.status             its size and time: of a file, a member, on a server
  descriptors.ledger        what is stored as it is now goes no further
  embedding.stream          lists of images, each in a thread; beside a GPU `on_gpu`
    images.read             its bytes, and their hash: what is stored of them is not decoded again
    images.decode           what it is, or why it cannot be decoded:
      images.opening        upright RGB (asks `signatures`, `guards`, `colours`)
      images.resize         as large as the network sees it (as `preprocess` says)
    models.runtime.onnx_runtime, or another: the descriptor
  descriptors.write         its row in a shard (`schema`), a file that is whole or absent
"""
