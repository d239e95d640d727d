"""Load embeddings into a vector database: Qdrant, LanceDB or Milvus.

`to_qdrant`, `to_lancedb` and `to_milvus` read a folder of embeddings a few thousand vectors at a time and upsert them
into a collection. An image has the same id in every run, so that a load can be repeated, or continued after an
interruption, with the same result. The collection has the facts of the manifest, and refuses vectors of another model.

=============  ===========================  =====================================  ===================================
Engine         `location`                   Id of an image                         Score of a search, as of `ImageIndex`
=============  ===========================  =====================================  ===================================
Qdrant         folder, http(s):// of a      `point_id(image_id)`; `image_id` is    `score`
               server, `QdrantClient`       in the payload
LanceDB        folder, s3://, gs://, ...,   column `image_id`                      `1 - _distance`, by `metric("dot")`
               a connection
Milvus         file.db, http(s):// of a     primary key `image_id`                 `distance`
               server, `MilvusClient`
=============  ===========================  =====================================  ===================================
"""
