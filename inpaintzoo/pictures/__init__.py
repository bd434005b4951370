"""Pictures: any file or array to pixels, and back."""
