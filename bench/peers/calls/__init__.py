"""One module for each implementation; each has a class Peer as described in calls/peer.py."""
