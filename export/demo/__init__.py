"""The demonstration: a page that runs an export's float32 TFLite file in the browser.

    npm ci --prefix export/demo
    python -m export.demo --export_dir=exports/conv_vae
"""
