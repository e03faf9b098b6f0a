"""From descriptors to matches: the threshold join, clusters, keepers and the FAISS index.

    join        pairs of rows at or above a threshold, by the cheapest plan
    products    its candidates: all `cells`, by products of shortened rows (`torch_products`)
    sketches    rows shortened further, where some pairs may be missed
    groups      fewer candidates: rows that lie in the same direction
    crowds      sets with more pairs than memory holds: a spanning forest of them
    clusters    one call from descriptors to clusters; `forest` and `linkage` do its two halves
    keepers     which row of a cluster is rather kept
    index       a FAISS index over a descriptor dataset, saved and extended

Names carry shapes: N rows, D dimensions, P pairs, Q queries, R references, U distinct rows.
"""
