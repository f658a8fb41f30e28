"""The Explorer: a neuron's picture under the dense network and under a sample's trace.

May import: `widgets.common`, `widgets.saliency` (which it embeds), `widgets.lesson`, and what they may.
"""
