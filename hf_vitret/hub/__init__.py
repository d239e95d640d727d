"""Model cards, data set cards, exports to other libraries, and uploads to the Hugging Face Hub."""
