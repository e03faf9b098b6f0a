"""From descriptors to matches: the threshold join, clusters, keepers and the FAISS index.

    join        pairs of rows at or above a threshold, exactly or through sign bits (`bits`)
    recall      what share of the pairs a join found, measured on a sample
    clusters    one call from descriptors to clusters; `forest` and `linkage` do its two halves
    keepers     which row of a cluster is rather kept
    index       a FAISS index over a descriptor dataset, saved and extended

Names carry shapes: N rows, D dimensions, P pairs, Q queries, R references, U distinct rows.
"""
