"""What the pages share. The only part of core that knows Streamlit."""
