"""What detection achieves."""
