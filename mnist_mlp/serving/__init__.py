"""The champion as a model that takes raw images: export. MLflow serves it by tracking/served_model.py."""
