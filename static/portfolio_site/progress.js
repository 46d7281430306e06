/* Keeps every [data-progress] up to date while its run goes on; with data-reload the page is fetched anew at its end. */
"use strict";

{
    const SECONDS = 2;

    const show = (place, news) => {
        const bar = place.querySelector("progress");
        bar.max = news.total || 1;
        bar.value = news.done;
        place.querySelector("[data-words]").textContent = news.words;
        const state = place.querySelector("[data-state]");
        if (state) {
            state.innerHTML = news.state;
        }
    };

    const follow = async (place) => {
        try {
            const answer = await fetch(place.dataset.progress, { headers: { Accept: "application/json" } });
            if (answer.ok) {
                const news = await answer.json();
                show(place, news);
                if (news.is_finished) {
                    if ("reload" in place.dataset) {
                        location.reload();
                    }
                    return;
                }
            }
        } catch {
            /* The server may be away for a moment: ask again. */
        }
        setTimeout(() => follow(place), SECONDS * 1000);
    };

    document.querySelectorAll("[data-progress]").forEach((place) => setTimeout(() => follow(place), SECONDS * 1000));
}
