"""What a network is made of: products, weights, safe copies, partial runs, torchvision's builders.

May import: `errors`.
"""
