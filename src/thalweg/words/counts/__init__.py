"""From word numbers to co-occurrence counts: a sorted table of pairs, in memory or block by block on disk."""
