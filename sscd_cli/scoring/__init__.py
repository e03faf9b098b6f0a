"""What makes two descriptors comparable: post-processing, normalisation, scale, threshold."""
