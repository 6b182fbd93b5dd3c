"""Faults and hostility: what is killed, cut off, refused or made up must neither lose nor double anything.

HOSTILE_RECORDS=40000   how many hostile records are made (default: 5000)
THOROUGH=1              more pages of each kind, and every payload in every search
"""
