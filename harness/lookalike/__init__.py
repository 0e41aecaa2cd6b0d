"""The EKS look-alike: what of AWS a run on EKS needs, on this machine, over AWS's own protocols.

It is reached by `AWS_ENDPOINT_URL_*` and nothing else. Each request is signed, checked, parsed and authorised as AWS
does it, and each answer has the shape of botocore's service models. What that proves, and what only AWS can:
docs/eks-lookalike.md.

::

    gateway ─► sigv4 ─► routing ─► wire ─► policies ─► iam · sts · eks · eks_auth ─► wire ─► calls
                                              └─► witness (S3: forwards to a backend)
    webhooks: injector (pods), token_webhook (API server)      node/: the Pod Identity agent, a program of its own
"""
