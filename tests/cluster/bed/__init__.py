"""What the cluster tests stand on: meshes on one machine, and checks that say what they find."""
