"""Statistics over numbers, with no knowledge of runs or files. No function returns NaN; all draws are seeded."""
