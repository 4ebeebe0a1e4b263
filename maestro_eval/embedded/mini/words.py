"""The words that the pictures print."""

from __future__ import annotations

SHORT_WORDS = (
    "acorn", "amber", "anchor", "basil", "beacon", "birch", "brick", "cabin", "candle", "canyon", "cedar", "cello",
    "clover", "comet", "copper", "coral", "cotton", "crane", "dawn", "delta", "dove", "ember", "fable", "falcon",
    "fern", "flint", "forest", "galaxy", "garnet", "ginger", "glade", "grove", "harbor", "hazel", "heron", "indigo",
    "island", "ivory", "jasper", "kettle", "lagoon", "lantern", "lemon", "lilac", "linen", "maple", "marble", "meadow",
    "mint", "mosaic", "nectar", "nutmeg", "oasis", "olive", "opal", "orchid", "otter", "pearl", "pebble", "pepper",
    "pine", "planet", "plum", "prairie", "quartz", "quill", "raven", "reed", "ribbon", "river", "robin", "saddle",
    "saffron", "sage", "sierra", "silver", "spruce", "summit", "sunset", "thistle", "timber", "tulip", "tundra",
    "valley", "velvet", "violet", "walnut", "willow", "window", "winter", "yarrow", "zephyr",
)  # fmt: skip

LONG_WORDS = (
    "adventure", "alphabet", "aquarium", "backpack", "balance", "bridge", "calendar", "carousel", "cathedral",
    "chocolate", "compass", "concert", "crystal", "diamond", "discovery", "dolphin", "elephant", "evening", "festival",
    "fountain", "friendly", "furniture", "giraffe", "grassland", "hamster", "highland", "holiday", "horizon",
    "innkeeper", "journey", "kangaroo", "keyboard", "lavender", "lemonade", "lighthouse", "magnolia", "mountain",
    "notebook", "october", "orchestra", "painting", "paradise", "passenger", "penguin", "postcard", "pyramid",
    "rainbow", "raspberry", "sandwich", "seashell", "snowflake", "strawberry", "sunflower", "telescope", "thunder",
    "together", "tortoise", "treasure", "umbrella", "vacation", "volcano", "waterfall", "wilderness", "windmill",
)  # fmt: skip
