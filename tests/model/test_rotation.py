import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense

from gecko_hf.model.build import projection
from gecko_hf.model.rotation import principal_axes, rotate
from gecko_hf.model.vectors import cut

TEXTS = [f"{a} {b}" for a in ("bread", "oven", "river", "stone", "query") for b in ("one", "two", "three", "four")]


@pytest.fixture
def vectors():
    made = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32) * np.array(
        [1, 1, 5, 1, 1, 3, 1, 1], np.float32
    )
    return cut(made, 8)


class TestPrincipalAxes:
    def test_no_cosine_changes_at_the_whole_width(self, vectors):
        turned = vectors @ principal_axes(vectors)
        np.testing.assert_allclose(turned @ turned.T, vectors @ vectors.T, atol=1e-5)

    def test_the_first_columns_are_those_along_which_the_vectors_are_longest(self, vectors):
        axes = principal_axes(vectors)
        energy = ((vectors @ axes) ** 2).sum(axis=0)
        assert (np.diff(energy) <= 1e-3).all()
        assert np.abs(axes[:, :2]).argmax(axis=0).tolist() == [2, 5]

    def test_no_other_two_columns_lose_less_of_the_inner_products(self, vectors):
        def lost(part):
            return np.linalg.norm(part @ part.T - vectors @ vectors.T)

        assert lost((vectors @ principal_axes(vectors))[:, :2]) < lost(vectors[:, [2, 5]]) < lost(vectors[:, :2])

    def test_vectors_in_another_order_give_the_same_map(self, vectors):
        np.testing.assert_allclose(principal_axes(vectors[::-1]), principal_axes(vectors), atol=1e-4)

    def test_fewer_vectors_than_columns_still_give_an_orthogonal_map(self, vectors):
        axes = principal_axes(vectors[:3])
        np.testing.assert_allclose(axes.T @ axes, np.eye(8), atol=1e-5)
        np.testing.assert_allclose((vectors[:3] @ axes)[:, 3:], 0, atol=1e-5)


class TestRotate:
    @pytest.fixture
    def axes(self, tiny_model):
        width = tiny_model.get_embedding_dimension()
        return principal_axes(np.random.default_rng(1).normal(size=(2 * width, width)).astype(np.float32))

    @pytest.mark.parametrize("head", [False, True])
    def test_the_model_gives_the_turned_vectors_also_when_it_was_saved(self, tiny_model, axes, head, tmp_path):
        width = len(axes)
        if head:
            tiny_model.insert(2, projection(width, width, "tiny"))
        before = tiny_model.encode(TEXTS)
        modules = len(tiny_model)
        rotate(tiny_model, axes)
        assert len(tiny_model) == modules + (not head)
        assert sum(isinstance(module, Dense) for module in tiny_model) == 1
        np.testing.assert_allclose(tiny_model.encode(TEXTS), before @ axes, atol=1e-5)
        tiny_model.save(str(tmp_path / "model"))
        loaded = SentenceTransformer(str(tmp_path / "model"), truncate_dim=4)
        np.testing.assert_allclose(loaded.encode(TEXTS), (before @ axes)[:, :4], atol=1e-5)
